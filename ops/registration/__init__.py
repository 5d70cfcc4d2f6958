"""What mParticle is told about a partner: printed, checked, and compared with what it was told before."""
