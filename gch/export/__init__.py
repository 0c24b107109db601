"""What a trained run becomes: a model that any TensorFlow program can serve."""
