"""How good a trained model is on records that it was not trained on."""
