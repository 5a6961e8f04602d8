"""The published protocol in one command: several models on several data sets, as one page that can be published."""
