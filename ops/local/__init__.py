"""Stand-ins for the outside on one machine: AWS, mParticle, a partner API."""
