"""A partner's logo, which mParticle asks for as an SVG with a transparent background: checked, and previewed."""
