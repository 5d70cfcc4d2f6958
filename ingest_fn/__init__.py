"""STAGE 1: mParticle -> queue."""
