"""A partner's registration at mParticle: printed, checked, and compared with the one before."""
