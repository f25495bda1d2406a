'use strict';
const roles = ['clerk', 'manager'];

function mayRefund(role) {
  return roles.indexOf(role) === 1;
}

module.exports = { mayRefund };
