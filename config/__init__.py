"""Job files and process settings: checked, frozen, and turned into the specs of the libraries."""
