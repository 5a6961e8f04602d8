"""The only code that knows Label Studio: its configs, prompts, regions, accepted annotations, images and API."""
