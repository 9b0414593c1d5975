"""pinxit: train image generators on your own pictures, edit with deep networks, and trust what comes out."""

__version__ = "0.1.0"
