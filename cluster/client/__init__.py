"""What people and programs ask of a running cluster."""
