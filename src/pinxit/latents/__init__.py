"""What can be done with a trained model of latents or codes: sample, reconstruct, traverse, compress."""
