"""Cross-modal hashing with graph convolutions (GCH) in TensorFlow 2."""

__version__ = "0.1.0"
