"""What is due once a minute, whatever else happens."""
