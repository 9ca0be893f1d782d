# Starts one Postgres of a pair: as the other's standby if the other takes the writes, else as it was left.
# PAIR_OTHER is the other's name; PAIR_FOUNDS says which of the two begins the database where there is none.
set -eu
umask 077

install -m 600 /run/secrets/postgres.key /run/postgresql/server.key
printf '*:*:*:wepeople_replication:%s\n' "$(cat /run/secrets/replication_password)" > /run/postgresql/pgpass
tls=${PAIR_TLS:-sslmode=verify-full sslrootcert=/run/ca/ca.crt}
other="host=$PAIR_OTHER user=wepeople_replication passfile=/run/postgresql/pgpass connect_timeout=3 $tls"

other_takes_writes() {
  [ "$(psql -XAt -d "$other dbname=postgres" -c 'SELECT pg_is_in_recovery()')" = f ]
}

if [ -e "$PGDATA/PG_VERSION" ]; then
  if [ ! -e "$PGDATA/standby.signal" ] && other_takes_writes; then
    echo "$PAIR_OTHER takes the writes now, and what is stored here may not be what is stored there." >&2
    echo "Remove this container and its volume; started again, it copies $PAIR_OTHER and follows it." >&2
    exit 1
  fi
elif [ "$PAIR_FOUNDS" = false ] || other_takes_writes; then
  # In one step: a copy that was interrupted is no database.
  rm -rf "$PGDATA.unfinished"
  mkdir -p "$PGDATA.unfinished"
  pg_basebackup --dbname "$other" --pgdata "$PGDATA.unfinished" --wal-method stream --checkpoint fast
  touch "$PGDATA.unfinished/standby.signal"
  rm -rf "$PGDATA"
  mv "$PGDATA.unfinished" "$PGDATA"
fi

# A standby may be away until 2 GB are written; longer, and it has to copy anew. What is read there is not vacuumed away.
exec docker-entrypoint.sh "$@" -c wal_keep_size=2GB -c hot_standby_feedback=on \
  -c "primary_conninfo=$other application_name=standby"
