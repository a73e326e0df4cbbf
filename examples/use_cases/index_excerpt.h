/* SPDX-License-Identifier: MIT
 *
 * index_excerpt.h: the SQL function excerpt(TABLE): some of a found row's text.
 */
#ifndef EXAMPLES_INDEX_EXCERPT_H
#define EXAMPLES_INDEX_EXCERPT_H

#include <sqlite3.h>

/**
 * Make excerpt(TABLE) known to a connection, for queries of a full-text table whose second column
 * is the text and whose first is the name. It gives some of the text around the first words found,
 * which are in brackets there; or of the name, if they are only in that.
 *
 * @return SQLITE_OK; an error of SQLite, which the connection keeps
 */
int excerpt_register(sqlite3 *sqlite);

#endif
