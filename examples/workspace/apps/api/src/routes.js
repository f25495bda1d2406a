'use strict';
const routes = { '/health': 'ok', '/stock': 'list' };

function resolve(path) {
  return routes[path] ?? 'not found';
}

module.exports = { resolve };
