'use strict';
exports.steps = ['types figs', 'finds nothing', 'offers apples'];
