CREATE SCHEMA saga;
CREATE TABLE saga.dead_letters (
    seq bigint NOT NULL,
    consumer text NOT NULL COLLATE pg_catalog."C",
    message_id text NOT NULL COLLATE pg_catalog."C",
    "position" text NOT NULL,
    problem text NOT NULL,
    detail text NOT NULL,
    attempts integer NOT NULL,
    at timestamp with time zone NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    step_key text,
    saga text,
    traceparent text,
    tracestate text,
    payload bytea NOT NULL
);
COMMENT ON COLUMN saga.dead_letters.payload IS 'UTF-8 bytes: it may be malformed, and then jsonb or text could not hold it';
ALTER TABLE saga.dead_letters ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME saga.dead_letters_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE saga.documents (
    kind text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    revision integer NOT NULL,
    state jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE saga.idempotency_keys (
    scope text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL,
    answer jsonb,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE saga.inbox (
    consumer text NOT NULL COLLATE pg_catalog."C",
    message_id text NOT NULL COLLATE pg_catalog."C",
    admitted_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE saga.locks (
    name text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN saga.locks.fence IS 'Grows with every acquisition. The row stays after a release.';
CREATE TABLE saga.order_history (
    order_id text NOT NULL COLLATE pg_catalog."C",
    entry_no integer NOT NULL,
    status text NOT NULL,
    at timestamp with time zone NOT NULL,
    reason text
);
COMMENT ON TABLE saga.order_history IS 'Every status that an order entered. Append-only.';
CREATE TABLE saga.order_lines (
    order_id text NOT NULL COLLATE pg_catalog."C",
    line_no integer NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    quantity integer NOT NULL,
    unit_amount bigint NOT NULL,
    currency text NOT NULL,
    CONSTRAINT order_lines_quantity_check CHECK ((quantity > 0)),
    CONSTRAINT order_lines_unit_amount_check CHECK ((unit_amount >= 0))
);
COMMENT ON TABLE saga.order_lines IS 'What was bought, as it was when the order was placed. Written once.';
CREATE TABLE saga.orders (
    id text NOT NULL COLLATE pg_catalog."C",
    customer_id text NOT NULL,
    status text NOT NULL,
    reason text,
    total_amount bigint NOT NULL,
    currency text NOT NULL,
    payment_method text NOT NULL,
    cancel_policy text NOT NULL,
    cancel_requested boolean NOT NULL,
    paid boolean NOT NULL,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT orders_cancel_policy_check CHECK ((cancel_policy = ANY (ARRAY['createdOnly'::text, 'compensating'::text]))),
    CONSTRAINT orders_status_check CHECK ((status = ANY (ARRAY['created'::text, 'pendingPayment'::text, 'awaitingPayment'::text, 'awaitingFulfillment'::text, 'finished'::text, 'canceled'::text, 'failed'::text, 'refunded'::text]))),
    CONSTRAINT orders_total_amount_check CHECK ((total_amount >= 0))
);
COMMENT ON COLUMN saga.orders.total_amount IS 'minor units of currency';
CREATE TABLE saga.outbox (
    seq bigint NOT NULL,
    id uuid NOT NULL,
    shard smallint NOT NULL,
    aggregatetype character varying(255) NOT NULL,
    aggregateid character varying(255) NOT NULL,
    type character varying(255) NOT NULL,
    topic character varying(255) NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    step_key text,
    saga text,
    traceparent text,
    tracestate text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    parked_at timestamp with time zone
);
COMMENT ON COLUMN saga.outbox.seq IS 'Publishing order within a shard. Assigned after the lock of the key.';
COMMENT ON COLUMN saga.outbox.parked_at IS 'Refused by the broker for good; waits for a person.';
ALTER TABLE saga.outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME saga.outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE saga.saga_migrations (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE saga.sagas (
    saga text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    status text NOT NULL,
    revision integer NOT NULL,
    state jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE saga.stock_adjustments (
    id text NOT NULL COLLATE pg_catalog."C",
    sku text NOT NULL,
    delta bigint NOT NULL,
    on_hand bigint NOT NULL,
    shortage bigint NOT NULL,
    adjusted_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE saga.stock_adjustments IS 'Goods counted in or out, with the books as they were then.';
CREATE TABLE saga.stock_holds (
    order_id text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL,
    lines jsonb NOT NULL,
    until timestamp with time zone NOT NULL,
    reason text,
    reserved_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT stock_holds_ended_check CHECK (((reason IS NOT NULL) = (status = ANY (ARRAY['lapsed'::text, 'released'::text])))),
    CONSTRAINT stock_holds_reason_check CHECK ((reason = ANY (ARRAY['asked'::text, 'expired'::text, 'revoked'::text]))),
    CONSTRAINT stock_holds_status_check CHECK ((status = ANY (ARRAY['held'::text, 'committed'::text, 'lapsed'::text, 'released'::text, 'shipped'::text])))
);
COMMENT ON TABLE saga.stock_holds IS 'What each order has of the stock, and had. A released one without lines is a tombstone.';
CREATE TABLE saga.stock_skus (
    sku text NOT NULL COLLATE pg_catalog."C",
    on_hand bigint NOT NULL,
    held bigint NOT NULL,
    committed bigint NOT NULL,
    shortage bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT stock_skus_committed_check CHECK ((committed >= 0)),
    CONSTRAINT stock_skus_held_check CHECK ((held >= 0)),
    CONSTRAINT stock_skus_no_oversell CHECK (((held + committed) <= (on_hand + shortage))),
    CONSTRAINT stock_skus_on_hand_check CHECK ((on_hand >= 0)),
    CONSTRAINT stock_skus_shortage_check CHECK ((shortage >= 0))
)
WITH (fillfactor='50');
COMMENT ON COLUMN saga.stock_skus.shortage IS 'Promised beyond what is on hand. Only an adjustment makes it grow.';
CREATE TABLE saga.timers (
    owner text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    token text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    claimable_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN saga.timers.claimable_at IS 'due_at, or the end of the lease of the last claim';
INSERT INTO saga.dead_letters OVERRIDING SYSTEM VALUE VALUES (1, 'inventory', '018bcfe5-6800-7000-8000-000000000009', 'inventory.commands/3@1207', 'schemaMismatch', 'no JSON', 5, '2023-11-14 22:13:20+00', 'order.created.v1', 'order.created', 'o-broken', '2023-11-14 22:13:20.009+00', 'o-broken', NULL, NULL, NULL, NULL, NULL, '\x7b2262726f6b656e223a');
INSERT INTO saga.documents VALUES ('payment', 'o-finished', 1, '{"note": null, "captured": 2100}', '2026-11-21 13:19:50.081957+00', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.idempotency_keys VALUES ('customer-1', 'never-answered', 'def', NULL, '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.idempotency_keys VALUES ('customer-1', 'order-once', 'abc', '{"body": {"id": "o-placed"}, "status": 201}', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.inbox VALUES ('inventory', 'm-1', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.inbox VALUES ('inventory', 'm-2', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.locks VALUES ('sweeper', 'process-1', 1, '2103-01-08 15:06:30.213375+00');
INSERT INTO saga.order_history VALUES ('o-placed', 1, 'created', '2023-11-14 22:13:20+00', NULL);
INSERT INTO saga.order_history VALUES ('o-finished', 1, 'created', '2023-11-14 22:13:20+00', NULL);
INSERT INTO saga.order_history VALUES ('o-finished', 2, 'pendingPayment', '2023-11-14 22:13:20.01+00', NULL);
INSERT INTO saga.order_history VALUES ('o-finished', 3, 'awaitingPayment', '2023-11-14 22:13:20.02+00', NULL);
INSERT INTO saga.order_history VALUES ('o-finished', 4, 'awaitingFulfillment', '2023-11-14 22:13:20.04+00', NULL);
INSERT INTO saga.order_history VALUES ('o-finished', 5, 'finished', '2023-11-14 22:13:20.05+00', NULL);
INSERT INTO saga.order_history VALUES ('o-refunded', 1, 'created', '2023-11-14 22:13:20+00', NULL);
INSERT INTO saga.order_history VALUES ('o-refunded', 2, 'pendingPayment', '2023-11-14 22:13:20.01+00', NULL);
INSERT INTO saga.order_history VALUES ('o-refunded', 3, 'awaitingPayment', '2023-11-14 22:13:20.02+00', NULL);
INSERT INTO saga.order_history VALUES ('o-refunded', 4, 'awaitingFulfillment', '2023-11-14 22:13:20.04+00', NULL);
INSERT INTO saga.order_history VALUES ('o-refunded', 5, 'failed', '2023-11-14 22:13:20.05+00', 'fulfillmentFailed');
INSERT INTO saga.order_history VALUES ('o-refunded', 6, 'refunded', '2023-11-14 22:13:20.06+00', 'fulfillmentFailed');
INSERT INTO saga.order_lines VALUES ('o-placed', 1, 'tea-green', 'Grüner Tee, 100 g', 2, 450, 'EUR');
INSERT INTO saga.order_lines VALUES ('o-placed', 2, 'cup', 'Cup; it''s "white"', 1, 1200, 'EUR');
INSERT INTO saga.order_lines VALUES ('o-finished', 1, 'tea-green', 'Grüner Tee, 100 g', 2, 450, 'EUR');
INSERT INTO saga.order_lines VALUES ('o-finished', 2, 'cup', 'Cup; it''s "white"', 1, 1200, 'EUR');
INSERT INTO saga.order_lines VALUES ('o-refunded', 1, 'tea-green', 'Grüner Tee, 100 g', 2, 450, 'EUR');
INSERT INTO saga.order_lines VALUES ('o-refunded', 2, 'cup', 'Cup; it''s "white"', 1, 1200, 'EUR');
INSERT INTO saga.orders VALUES ('o-finished', 'customer-1', 'finished', NULL, 2100, 'EUR', 'pm_1', 'compensating', false, true, 5, '2023-11-14 22:13:20+00', '2023-11-14 22:13:20.05+00');
INSERT INTO saga.orders VALUES ('o-placed', 'customer-1', 'created', NULL, 2100, 'EUR', 'pm_1', 'compensating', false, false, 1, '2023-11-14 22:13:20+00', '2023-11-14 22:13:20+00');
INSERT INTO saga.orders VALUES ('o-refunded', 'customer-1', 'refunded', 'fulfillmentFailed', 2100, 'EUR', 'pm_1', 'compensating', false, true, 6, '2023-11-14 22:13:20+00', '2023-11-14 22:13:20.06+00');
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (2, '018bcfe5-6800-7000-8000-000000000002', 4, 'order', 'o-finished', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 2}', '{}', '2023-11-14 22:13:20.002+00', 'o-finished', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.100005+00', '2026-11-21 13:19:50.112895+00', NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (1, '018bcfe5-6800-7000-8000-000000000001', 14, 'order', 'o-placed', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 1}', '{}', '2023-11-14 22:13:20.001+00', 'o-placed', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.100005+00', '2026-11-21 13:19:50.134768+00', NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (3, '018bcfe5-6800-7000-8000-000000000003', 15, 'order', 'o-too-large', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 3}', '{}', '2023-11-14 22:13:20.003+00', 'o-too-large', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.100005+00', NULL, '2026-11-21 13:19:50.138482+00');
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (4, '018bcfe5-6800-7000-8000-000000000004', 14, 'order', 'o-placed', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 4}', '{}', '2023-11-14 22:13:20.004+00', 'o-placed', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.211209+00', NULL, NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (5, '018bcfe5-6800-7000-8000-000000000005', 4, 'order', 'o-finished', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 5}', '{}', '2023-11-14 22:13:20.005+00', 'o-finished', 'm-1', 'o-finished:pay:1', 'checkout@1', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'vendor=1', '2026-11-21 13:19:50.211209+00', NULL, NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (6, '018bcfe5-6800-7000-8000-000000000006', 14, 'order', 'o-placed', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 6}', '{}', '2023-11-14 22:13:20.006+00', 'o-placed', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.211209+00', NULL, NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (7, '018bcfe5-6800-7000-8000-000000000007', 14, 'order', 'o-placed', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 7}', '{}', '2023-11-14 22:13:20.007+00', 'o-placed', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.211209+00', NULL, NULL);
INSERT INTO saga.outbox OVERRIDING SYSTEM VALUE VALUES (8, '018bcfe5-6800-7000-8000-000000000008', 4, 'order', 'o-finished', 'order.created.v1', 'order.created', '{"text": "Grüße; it''s \"quoted\"", "number": 8}', '{}', '2023-11-14 22:13:20.008+00', 'o-finished', NULL, NULL, NULL, NULL, NULL, '2026-11-21 13:19:50.211209+00', NULL, NULL);
INSERT INTO saga.saga_migrations VALUES ('0001_initial', 'd000a478182c9f72b4ba1a4bd17cb94dcf0f89f0a8453138eee19706d7dc6561', '2026-11-21 13:19:49.982818+00');
INSERT INTO saga.saga_migrations VALUES ('0002_stock', '7c1211052cdf14d685e20c5c1c53b0a42c2844dbad00bcaa221de2e1e189375d', '2026-11-21 13:19:49.982818+00');
INSERT INTO saga.sagas VALUES ('checkout', 'o-finished', 1, 'completed', 1, '{"at": 1}', '2026-11-21 13:19:50.081957+00', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.sagas VALUES ('checkout', 'o-placed', 1, 'running', 1, '{"at": 0}', '2026-11-21 13:19:50.081957+00', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.sagas VALUES ('checkout', 'o-refunded', 1, 'compensated', 1, '{"at": 2}', '2026-11-21 13:19:50.081957+00', '2026-11-21 13:19:50.081957+00');
INSERT INTO saga.stock_adjustments VALUES ('delivery-1', 'tea-green', 10, 10, 0, '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_adjustments VALUES ('delivery-2', 'cup', 5, 5, 0, '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_holds VALUES ('o-finished', 'committed', '[{"sku": "tea-green", "quantity": 2}]', '2026-11-21 13:20:50.22+00', NULL, '2026-11-21 13:19:50.22+00', '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_holds VALUES ('o-given-back', 'released', '[]', '2026-11-21 13:19:50.22+00', 'asked', '2026-11-21 13:19:50.22+00', '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_holds VALUES ('o-placed', 'held', '[{"sku": "tea-green", "quantity": 2}]', '2100-01-01 00:00:00+00', NULL, '2026-11-21 13:19:50.22+00', '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_holds VALUES ('o-lapsed', 'held', '[{"sku": "cup", "quantity": 1}]', '2023-11-14 22:13:20+00', NULL, '2026-11-21 13:19:50.22+00', '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_skus VALUES ('cup', 5, 1, 0, 0, '2026-11-21 13:19:50.22+00');
INSERT INTO saga.stock_skus VALUES ('tea-green', 10, 2, 2, 0, '2026-11-21 13:19:50.22+00');
INSERT INTO saga.timers VALUES ('checkout', 'o-placed', 'due', 't-1', '2023-11-14 22:13:20+00', '2023-11-14 22:13:20+00');
INSERT INTO saga.timers VALUES ('checkout', 'o-placed', 'waiting', 't-2', '2100-01-01 00:00:00+00', '2100-01-01 00:00:00+00');
SELECT pg_catalog.setval('saga.dead_letters_seq_seq', 1, true);
SELECT pg_catalog.setval('saga.outbox_seq_seq', 8, true);
ALTER TABLE ONLY saga.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (consumer, message_id);
ALTER TABLE ONLY saga.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (kind, id);
ALTER TABLE ONLY saga.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key);
ALTER TABLE ONLY saga.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (consumer, message_id);
ALTER TABLE ONLY saga.locks
    ADD CONSTRAINT locks_pkey PRIMARY KEY (name);
ALTER TABLE ONLY saga.order_history
    ADD CONSTRAINT order_history_pkey PRIMARY KEY (order_id, entry_no);
ALTER TABLE ONLY saga.order_lines
    ADD CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line_no);
ALTER TABLE ONLY saga.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY saga.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY saga.saga_migrations
    ADD CONSTRAINT saga_migrations_pkey PRIMARY KEY (name);
ALTER TABLE ONLY saga.sagas
    ADD CONSTRAINT sagas_pkey PRIMARY KEY (saga, id);
ALTER TABLE ONLY saga.stock_adjustments
    ADD CONSTRAINT stock_adjustments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY saga.stock_holds
    ADD CONSTRAINT stock_holds_pkey PRIMARY KEY (order_id);
ALTER TABLE ONLY saga.stock_skus
    ADD CONSTRAINT stock_skus_pkey PRIMARY KEY (sku);
ALTER TABLE ONLY saga.timers
    ADD CONSTRAINT timers_pkey PRIMARY KEY (owner, key, name);
CREATE INDEX dead_letters_at_idx ON saga.dead_letters USING btree (consumer, at, seq);
CREATE INDEX idempotency_keys_claimed_at_idx ON saga.idempotency_keys USING brin (claimed_at);
CREATE INDEX inbox_admitted_at_idx ON saga.inbox USING brin (admitted_at);
CREATE INDEX orders_customer_idx ON saga.orders USING btree (customer_id, created_at);
CREATE INDEX outbox_parked_idx ON saga.outbox USING btree (seq) WHERE (parked_at IS NOT NULL);
CREATE INDEX outbox_pending_idx ON saga.outbox USING btree (shard, seq) WHERE ((sent_at IS NULL) AND (parked_at IS NULL));
CREATE INDEX sagas_status_idx ON saga.sagas USING btree (saga, status);
CREATE INDEX stock_adjustments_sku_idx ON saga.stock_adjustments USING btree (sku, adjusted_at);
CREATE INDEX stock_holds_live_idx ON saga.stock_holds USING btree (until, order_id) WHERE (status = 'held'::text);
CREATE INDEX timers_claimable_idx ON saga.timers USING btree (owner, claimable_at);
