"""What people see. Nothing here changes a job."""
