"""What training costs, beside the programs others train with: equal work, one process an arm."""
