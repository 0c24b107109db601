"""Image backbones and the layers they are made of."""
