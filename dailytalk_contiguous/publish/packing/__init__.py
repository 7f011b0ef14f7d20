"""From a work folder to the Parquet files of one version, on this machine."""
