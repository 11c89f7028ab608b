"""From camera lines to defects: tile plan, merge, smoothing, threshold, blobs, threads, coverage."""
