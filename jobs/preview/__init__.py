"""What would become of records in a run, before it is started."""
