"""STAGE 3: queue -> partner."""
