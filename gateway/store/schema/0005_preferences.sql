-- What a key wants of routing where a request says nothing: the object a request has under 'provider'.
ALTER TABLE keys ADD COLUMN provider TEXT CHECK (length(provider) > 1);
