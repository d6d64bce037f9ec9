-- Where an operation takes what it is about: the user that somebody becomes who is moved.

ALTER TABLE operations ADD COLUMN target TEXT;
