-- A strict key's calls are refused where a provider cannot be told all that they say.
ALTER TABLE keys ADD COLUMN strict INTEGER NOT NULL DEFAULT 0 CHECK (strict IN (0, 1));
