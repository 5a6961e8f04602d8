"""Writers of data sets, one module per format, the mirror of `datasets`; nothing here evaluates."""
