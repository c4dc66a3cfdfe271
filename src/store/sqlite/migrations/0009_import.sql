-- An import that goes on is compared with the lines that it stored: their SHA-256, each line behind the digest before it.
ALTER TABLE request ADD COLUMN lines_digest BLOB;
