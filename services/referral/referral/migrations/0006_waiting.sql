-- The event of an order whose time no version of the program covers yet; read again by the one that will.
ALTER TABLE orders ADD COLUMN waiting text;
