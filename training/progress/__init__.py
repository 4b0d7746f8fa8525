"""What a run tells while it computes, and how it is told to stop."""
