"""What plays the others on one machine: AWS, mParticle, a partner API."""
