"""What a statement of SQL means for the models, and what it reads and writes."""
