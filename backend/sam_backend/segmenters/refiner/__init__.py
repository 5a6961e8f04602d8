"""The refiner: a small net that corrects masks by clicks. It knows no model and nothing of Label Studio."""
