"""Learning without a clock: models as blocks, data, compression, algorithms, calibration. It counts bits and FLOPs, not seconds."""
