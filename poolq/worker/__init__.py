"""The worker: claim, run, settle. The processes around it are `poolq.pool`'s business."""
