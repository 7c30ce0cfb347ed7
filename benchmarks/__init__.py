"""What parts of the project cost, measured. Each module is a command; README.md says what was reached."""
