"""A CLIP model in memory: pictures and texts → embeddings, computed by torch."""
