<?php
// A service provider that verifies as the documents and the behaviour of firebase/php-jwt 6 say, written by hand: that
// library cannot be installed here (it is in none of the package registries that the tests may use). It is careful but
// for the hole that HOLE plants: "expired" or "confused" (versions before 6 took the algorithm from the header:
// CVE-2021-46743). php -S 127.0.0.1:PORT service.php, with the public key (PEM) in KEY and a folder in STATE.
//
// What is repeated of the library: three parts; base64url read without strictness; objects of at most 512 levels;
// alg must be supported and be that of the key; nbf, or iat where there is no nbf, not in the future; exp not reached.

const SUPPORTED = ['HS256', 'RS256'];

function decode_part(string $part): string
{
    return base64_decode(strtr($part, '-_', '+/') . str_repeat('=', (4 - strlen($part) % 4) % 4));
}

function read_part(string $part): object
{
    $value = json_decode(decode_part($part), false, 512, JSON_BIGINT_AS_STRING | JSON_THROW_ON_ERROR);
    return is_array($value) ? (object) $value : (is_object($value) ? $value : throw new Exception('not an object'));
}

function verified(string $token, string $pem, string $hole): object
{
    $parts = explode('.', $token);
    if (count($parts) !== 3) {
        throw new Exception('not three parts');
    }
    [$header, $claims] = [read_part($parts[0]), read_part($parts[1])];
    $algorithm = $header->alg ?? '';
    $expected = $hole === 'confused' ? $algorithm : 'RS256';
    if (!in_array($algorithm, SUPPORTED, true) || !hash_equals($expected, $algorithm)) {
        throw new Exception('algorithm');
    }
    $input = "$parts[0].$parts[1]";
    $signature = decode_part($parts[2]);
    $good = $algorithm === 'RS256'
        ? openssl_verify($input, $signature, $pem, 'SHA256') === 1
        : hash_equals(hash_hmac('SHA256', $input, $pem, true), $signature);
    if (!$good) {
        throw new Exception('signature');
    }
    check_times($claims, $hole);
    check_person($header, $claims);
    return $claims;
}

function check_times(object $claims, string $hole): void
{
    if (floor($claims->nbf ?? $claims->iat) > time()) {
        throw new Exception('too early');
    }
    if ($hole !== 'expired' && time() >= $claims->exp) {
        throw new Exception('expired');
    }
}

function check_person(object $header, object $claims): void  // what the library leaves to the application
{
    if (strtoupper($header->typ ?? 'JWT') !== 'JWT' || isset($claims->events)) {
        throw new Exception('another kind of token');
    }
    if (!is_string($claims->email) || !str_contains($claims->email, '@') || !is_string($claims->jti) || !$claims->jti) {
        throw new Exception('not a person');
    }
}

function spend(string $id): void
{
    $file = @fopen(getenv('STATE') . '/' . hash('sha256', $id), 'x');
    if ($file === false) {
        throw new Exception('used');
    }
    fclose($file);
}

session_save_path(getenv('STATE'));
session_start();
if (strtok($_SERVER['REQUEST_URI'], '?') !== '/jwt') {
    echo isset($_SESSION['email']) ? "Signed in as {$_SESSION['email']}" : 'Please sign in';
    return;
}
try {
    $claims = verified($_GET['jwt'] ?? '', getenv('KEY'), getenv('HOLE') ?: '');
    spend($claims->jti);
    session_regenerate_id(true);
    $_SESSION['email'] = $claims->email;
    header('Location: /', true, 302);
} catch (Throwable $error) {
    header('Location: /?error=token', true, 302);
}
