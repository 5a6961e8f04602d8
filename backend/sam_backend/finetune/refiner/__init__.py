"""A project's own head of the refiner: corrections as they are served, the tuning, the export and the job."""
