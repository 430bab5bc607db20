"""The tables on the server."""

from poolq.engines.mysql.session import MySQLSession
from poolq.engines.sql.schema import WRITE_VERSION
from poolq.engines.sql.servers import ServerSchema
from poolq.engines.sql.session import Query
from poolq.errors import EngineUnavailable

#: Lets one migration run at a time, and waits for another one for 4 seconds.
LOCK_MIGRATION = "SELECT GET_LOCK(LEFT(CONCAT(DATABASE(), '.', ?, ' schema'), 64), 4)"


class MySQLSchema(ServerSchema[MySQLSession]):
    number = 9

    def _migrate(self, session: MySQLSession) -> bool:
        (locked,) = session.read(Query(LOCK_MIGRATION, (self.namespace,)))
        if locked.rows[0][0] != 1:
            raise EngineUnavailable(
                f"{self.redacted_url}: another migration is running; try again later"
            )
        missing = self.missing(self.read(session).version)
        if missing:
            session.read(*map(Query, missing), Query(WRITE_VERSION, (self.number,)))
        return bool(missing)
