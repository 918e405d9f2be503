"""The four trainings of a model: autoencoder, teacher, extractor, distill."""
