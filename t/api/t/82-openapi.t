# The description of the API, to anybody, under the prefix that is configured.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $answer = request(GET => '/api/openapi.json', as => user('openapi'));
is $answer->{status}, 200, 'the document';
like $answer->{headers}{'content-type'}, qr{^application/json\b}, 'as JSON';
is ref $answer->{json}, 'HASH', 'which it is';
my $head = request(HEAD => '/api/openapi.json', as => user('openapi'));
is $head->{status}, 200, 'HEAD';
is $head->{headers}{'content-length'}, length $answer->{body}, '… of the same length';
is $head->{body}, '', '… without a body';
is_problem(request(GET => '/api/openapi.json?x=1', as => user('openapi')), 400, 'a query');
is_problem(request(POST => '/api/openapi.json', as => user('openapi'), json => {}), 405, 'not to be written');
my $own = request(GET => '/todo/v2/openapi.json', as => user('openapi'), vhost => 'own');
is $own->{status}, 200, 'under the prefix of another host';

my $document = $answer->{json};
like $document->{openapi}, qr/^3\.1\./, 'OpenAPI 3.1';
is $document->{servers}[0]{url}, '/api', 'its server is the prefix';
is scalar @{ $document->{servers} // [] }, 1, 'the only one';
is $own->{json}{servers}[0]{url}, '/todo/v2', 'the other host names its own';
is_deeply { %{ $own->{json} }, servers => 0 }, { %$document, servers => 0 }, 'and else it is the same document';
my %methods = ('/{user_id}/tasks' => [qw(get post)], '/{user_id}/tasks/{id}' => [qw(delete get patch)], '/{user_id}/tasks/{id}/complete' => [qw(post)],
    '/{user_id}/tasks/{id}/occurrences' => [qw(get)], '/{user_id}/stats' => [qw(get)], '/{user_id}/events' => [qw(get)]);
for my $path (sort keys %methods) {
    is_deeply [sort grep { /^(?:get|put|post|patch|delete)$/ } keys %{ ($document->{paths} // {})->{$path} // {} }], $methods{$path}, "$path: its methods";
}
finish();
