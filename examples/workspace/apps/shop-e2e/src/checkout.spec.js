'use strict';
exports.steps = ['fills the address', 'pays'];
