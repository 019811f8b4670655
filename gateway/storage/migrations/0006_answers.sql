-- What each person said: reason and signature, sealed. Before a call acts the signature is verified again.

ALTER TABLE answers ADD COLUMN said BLOB;
