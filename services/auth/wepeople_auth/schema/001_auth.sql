CREATE SCHEMA auth;

-- What an org can buy. A month without a limit is NULL.
CREATE TABLE auth.plans (
    name                    text PRIMARY KEY,
    max_events_per_month    bigint CHECK (max_events_per_month > 0),
    key_requests_per_second integer NOT NULL CHECK (key_requests_per_second > 0),
    org_requests_per_second integer NOT NULL CHECK (org_requests_per_second > 0)
);

INSERT INTO auth.plans (name, max_events_per_month, key_requests_per_second, org_requests_per_second) VALUES
    ('free',        10000,   60,   600),
    ('standard', 10000000,   60,   600),
    ('scale',        NULL, 5000, 20000);

-- The salt keys the ids of the org's provisioned workers, so that nobody can guess them; it never changes.
CREATE TABLE auth.orgs (
    org_id     text PRIMARY KEY,
    name       text NOT NULL,
    plan       text NOT NULL REFERENCES auth.plans,
    salt       bytea NOT NULL CHECK (octet_length(salt) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE auth.apps (
    app_id     text PRIMARY KEY,
    org_id     text NOT NULL REFERENCES auth.orgs,
    slug       text NOT NULL,
    connection text GENERATED ALWAYS AS ('custom:' || slug) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, slug)
);

CREATE TABLE auth.app_event_types (
    app_id     text NOT NULL REFERENCES auth.apps,
    event_type text NOT NULL,
    PRIMARY KEY (app_id, event_type)
);

-- key_id is the public part of the token; hash is bcrypt over the whole token.
CREATE TABLE auth.keys (
    key_id              text PRIMARY KEY,
    app_id              text NOT NULL REFERENCES auth.apps,
    name                text NOT NULL,
    hash                text NOT NULL,
    requests_per_second integer CHECK (requests_per_second > 0),
    created_at          timestamptz NOT NULL DEFAULT now(),
    revoked_at          timestamptz
);
CREATE INDEX keys_by_app ON auth.keys (app_id, created_at);

-- Directory facts that are committed and not yet known to be in the stream, in the order they go there.
CREATE TABLE auth.outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fact_id  text NOT NULL UNIQUE,
    org_id   text NOT NULL,
    subject  text NOT NULL,
    body     bytea NOT NULL
);
CREATE INDEX outbox_by_org ON auth.outbox (org_id);
