"""Training a network: recipes, optimizers, pretrained weights, trained folders."""
