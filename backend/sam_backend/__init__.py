"""SAM Inspect's backend: masks for Label Studio from the Segment Anything Model."""
