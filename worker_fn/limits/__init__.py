"""What the fleet agreed on with the partner: rate, cool-down, breaker."""
