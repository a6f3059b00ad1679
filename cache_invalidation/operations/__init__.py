"""What operators do and see, shared by the admin, REST and the commands."""
