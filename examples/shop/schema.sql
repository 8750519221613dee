-- One row for each time an order took effect: two of an id would be an order processed twice.
CREATE TABLE orders (id text NOT NULL, cents int NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE counts (at timestamptz NOT NULL DEFAULT now());
